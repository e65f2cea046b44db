"""Words that clusters of photographs may be called by: a starting set."""

from __future__ import annotations

_TEXT = """
people, portrait, selfie, baby, child, children playing, family, couple, wedding, bride,
birthday party, birthday cake, graduation, concert, crowd, dancing, picnic, camping, hiking,
climbing, skiing, snowboarding, swimming, surfing, sailing, fishing, cycling, running, football,
basketball, tennis, golf, skateboarding, horse riding, yoga, playing guitar, cooking, shopping,
parade, fireworks, christmas tree, halloween pumpkin, theatre stage,
dog, puppy, cat, kitten, horse, cow, sheep, pig, goat, rabbit, hamster, bird, parrot, owl,
eagle, duck, swan, penguin, chicken, flamingo, fish, shark, whale, dolphin, seal, turtle, frog,
lizard, snake, crocodile, spider, butterfly, bee, beetle, dragonfly, snail, jellyfish, coral,
crab, lion, tiger, leopard, bear, panda, wolf, fox, deer, elephant, giraffe, zebra, monkey,
gorilla, kangaroo, koala, squirrel, hedgehog, camel, rhinoceros, hippopotamus,
flower, rose, tulip, sunflower, orchid, daisy, cherry blossom, tree, palm tree, cactus,
mushroom, leaf, autumn leaves, grass, garden, field, meadow, vineyard, forest, jungle, mountain,
hill, valley, cliff, canyon, volcano, desert, sand dune, beach, sea, ocean wave, coast, island,
lake, river, waterfall, pond, glacier, snow, ice, cave, rock, sunset, sunrise, night sky, stars,
moon, aurora, cloud, storm, lightning, rainbow, fog, rain,
city skyline, skyscraper, street, market, shop, restaurant, café, bar, house, apartment,
cottage, castle, palace, church, mosque, temple, cathedral, monastery, tower, lighthouse,
windmill, bridge, dam, harbour, pier, train station, airport, stadium, playground, park,
fountain, statue, monument, ruins, barn, farm, factory, warehouse, library, museum, school,
hospital, office, kitchen, bedroom, bathroom, living room, staircase, window, door, fence,
swimming pool, tent, graffiti, mural, road, tunnel, railway, construction site,
car, sports car, classic car, taxi, truck, bus, van, motorcycle, scooter, bicycle, train,
locomotive, tram, aeroplane, helicopter, hot air balloon, rocket, ship, sailing boat, canoe,
ferry, tractor, excavator, ambulance, fire engine, tank, trailer,
food, breakfast, bread, cake, pizza, pasta, burger, sandwich, salad, soup, sushi, noodles, rice,
meat, sausage, cheese, egg, ice cream, chocolate, biscuit, fruit, apple, banana, orange,
strawberry, grapes, vegetable, tomato, pepper, corn, broccoli, coffee, tea, beer, wine,
cocktail, bottle,
t-shirt, shirt, blouse, sweater, jacket, coat, suit, dress, skirt, trousers, jeans, shorts,
swimsuit, socks, shoes, trainers, boots, sandals, hat, cap, helmet, scarf, gloves, glasses,
sunglasses, watch, jewellery, necklace, ring, handbag, backpack, umbrella, mask, costume,
uniform,
computer, laptop, keyboard, mobile phone, camera, television, radio, loudspeaker, clock, lamp,
candle, book, newspaper, document, receipt, handwriting, map, chart, screenshot, meme, logo,
poster, painting, drawing, sculpture, pottery, toy, doll, teddy bear, board game, ball, balloon,
musical instrument, guitar, piano, violin, drum, trumpet, chair, table, sofa, bed, cupboard,
shelf, mirror, curtain, carpet, basket, box, bucket, cup, plate, bowl, knife, spoon, pan, oven,
refrigerator, washing machine, tool, hammer, saw, screwdriver, rope, chain, key, lock, coin,
flag, sign, traffic light, weapon, sword, medicine, scales, microscope, telescope,
black and white photo, close-up, aerial view, underwater photo, product photo on white, night
photo, silhouette, reflection, pattern, texture, blurred photo,
"""

WORDS: tuple[str, ...] = tuple(
    dict.fromkeys(word for part in _TEXT.split(",") if (word := " ".join(part.split())))
)
"""402 words and phrases, each once."""
